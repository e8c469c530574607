"""What commands show to people: tables of what the library returns, a command a file."""
