"""The built-in default: everything from rendered video to report in one run, without data."""
