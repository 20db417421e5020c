"""Fitting the local score to outcomes, in a process of its own: only here is numpy needed."""
