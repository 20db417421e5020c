"""Generated modules of other projects that our stubs import."""
