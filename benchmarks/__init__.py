"""Programs that show and measure the service: `make demo` and `make bench`."""
