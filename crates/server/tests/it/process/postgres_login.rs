//! postgres_login
