"""Tables, live view, figures, pages."""
