"""`make crash`: kills AIBox and PostgreSQL at every failpoint and at random, and checks that nothing is lost."""
