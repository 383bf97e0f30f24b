# Answers each connection with the length of its secret, so that the secret itself is never sent.
use strict;
use warnings;
use IO::Socket::INET;

$SIG{TERM} = sub { exit 0 };
open my $secret, '<', '/run/secrets/word' or die "secret: $!";
my $length = length <$secret>;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die "listen: $!";
open my $ready, '>', '/tmp/ready' or die "ready: $!";
while (my $client = $server->accept) {
    print {$client} "$length\n";
    close $client;
}
