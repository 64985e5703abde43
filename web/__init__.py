"""What answers over HTTP: pages, the JSON API, signed events; no torch, sklearn or fastText."""
