"""One task for many users: the file of requests, checked line by line, and the answers as columns."""
