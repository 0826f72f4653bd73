"""What several test files share: made-up students, molecules and results, and copies of the workflow. No tests."""
