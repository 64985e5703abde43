"""Where photos, posts and accounts come from."""
