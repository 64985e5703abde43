"""What must not cost a verdict: crashes, losses, standstills and repetitions during bulk runs."""
