"""The sub-commands of `fastnn`: a module each, with its help, its arguments (`add`) and what it does (`run`)."""
