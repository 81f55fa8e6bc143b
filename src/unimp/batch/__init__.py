"""One task for many users: what is asked, read and checked line by line, and the answers as columns."""
