"""What people and platforms see over HTTP."""
