# Runs in a guest as two processes with a TCP connection between them. The one sends a growing number, the other sends
# it back. Each number that came back is put on tmpfs, and every fifth is appended to a file on disk and synced there
# before it is told. Whatever goes wrong is told too. In Perl, which an emulated guest starts several times as quickly
# as Python.
use strict;
use warnings;
use IO::Handle;
use Socket;

sub put {
  my ($name, $text) = @_;
  open(my $file, '>', "/dev/shm/.$name") or die "open: $!";
  print $file "$text\n" or die "write: $!";
  close($file) or die "close: $!";
  rename("/dev/shm/.$name", "/dev/shm/$name") or die "rename: $!";
}

socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
bind($listener, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die "bind: $!";
listen($listener, 1) or die "listen: $!";
my $child = fork() // die "fork: $!";
if ($child == 0) {
  accept(my $peer, $listener) or die "accept: $!";
  while (sysread($peer, my $data, 64)) {
    syswrite($peer, $data);
  }
  exit 1;
}

eval {
  socket(my $link, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
  connect($link, getsockname($listener)) or die "connect: $!";
  open(my $log, '>>', '/var/lib/witness.log') or die "log: $!";
  for (my $number = 1;; $number++) {
    my $line = "$number\n";
    (syswrite($link, $line) // 0) == length($line) or die "send: $!";
    my $got = '';
    while ($got !~ /\n\z/) {
      my $readable = '';
      vec($readable, fileno($link), 1) = 1;
      select($readable, undef, undef, 60) > 0 or die "nothing comes back: $!";
      sysread($link, $got, 64, length($got)) or die 'the connection ended';
    }
    $got eq $line or die "sent $line, got $got";
    put('count', $number);
    if ($number % 5 == 0) {
      print $log $line or die "log: $!";
      $log->flush or die "flush: $!";
      $log->sync or die "sync: $!";
      put('synced', $number);
    }
    select(undef, undef, undef, 0.05);
  }
};
put('broken', $@);
