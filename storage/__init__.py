"""What is kept: tables, repositories, blobs."""
