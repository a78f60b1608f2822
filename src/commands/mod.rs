//! Shell: one file per subcommand or role.
