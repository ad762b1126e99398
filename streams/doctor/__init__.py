"""`mypay doctor`: looks at everything that an installation needs, at once, and says what to do about what is wrong."""
