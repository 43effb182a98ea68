"""Study files and run directories."""
