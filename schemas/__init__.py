"""The shared language of afin: frozen models, settings, errors. Imports nothing of ours."""
