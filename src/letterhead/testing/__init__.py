"""For tests of programs that use Letterhead: pipes in memory, servers in a thread of their own."""
