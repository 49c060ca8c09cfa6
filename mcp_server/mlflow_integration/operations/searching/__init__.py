"""What is searched for, and how it is found: names, filters, orders, moments."""
