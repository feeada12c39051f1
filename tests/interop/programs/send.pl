# Net::SMTP: host port security user password sender recipients file
use strict;
use warnings;
use Net::SMTP;

my ($host, $port, $security, $user, $password, $sender, $recipients, $file) = @ARGV;
my @unverified = (SSL_verify_mode => 0);
my $smtp = Net::SMTP->new($host, Port => $port, Hello => "perl.example", Timeout => 60, SSL => $security eq "tls", @unverified)
  or die "no connection: $@";

sub done {
    my ($what, $good) = @_;
    die "$what: " . $smtp->code . " " . $smtp->message unless $good;
}

done("STARTTLS", $smtp->starttls(@unverified)) if $security eq "starttls";
done("AUTH", $smtp->auth($user, $password)) if $user ne "";
done("MAIL", $smtp->mail($sender));
done("RCPT", $smtp->recipient(split /,/, $recipients));
open my $in, "<:raw", $file or die $!;
done("DATA", $smtp->data(do { local $/; <$in> }));
print $smtp->message;
$smtp->quit;
