"""The shared language of afin: frozen models, typed settings and errors. Imports nothing of ours."""
