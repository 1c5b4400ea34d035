"""What the tests share: real servers in this process."""
