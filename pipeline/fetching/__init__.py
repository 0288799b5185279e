"""Files from wheels, the web and the disk, checked before use; formats read without running any code."""
