"""Objects: one contract, kept by the folder and by S3."""
