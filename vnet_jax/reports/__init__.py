"""What people see: tables, plots, pictures, pages."""
