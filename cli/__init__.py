"""The command lines: parse, call one library function, print."""
