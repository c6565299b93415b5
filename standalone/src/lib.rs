//! The whole service in one process: this is its place, and for now the home of the black-box tests.
