"""The pages, the JSON API and sign-in; imports no torch, no scikit-learn, no fastText."""
