"""A page of HTML that is whole in one file: its charts, pictures, tables, and how they are written."""
