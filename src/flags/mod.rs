//! Shell: options: command line, environment, configuration files, defaults.
