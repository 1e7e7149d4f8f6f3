"""What the API answers with, by subject. Each object is declared once: its keys, their types, and where each value comes from."""
