//! Shell: containers: launchers, isolators, the container-side process.
