package configs

import (
	"reflect"
	"testing"
)

func TestDestinations(t *testing.T) {
	w := newWorld(t, "audit:", "  send:", "    - journald", "    - stdout",
		"    - syslog: tls://Logs.example.net", "      ca: logs-ca.pem",
		"    - syslog: tcp://192.0.2.7/",
		"    - syslog: tls://[2001:db8::1]:1514", "      certificate: /etc/a.pem", "      key: /etc/b.pem")
	want := []Destination{
		{Kind: Journald}, {Kind: Stdout},
		{Kind: Syslog, Address: "logs.example.net:6514", TLS: true, CA: w.path("logs-ca.pem")},
		{Kind: Syslog, Address: "192.0.2.7:601"},
		{Kind: Syslog, Address: "[2001:db8::1]:1514", TLS: true, Certificate: "/etc/a.pem", Key: "/etc/b.pem"},
	}
	if got := w.mustLoad().Audit.Send; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAddressesOfServers(t *testing.T) {
	for text, want := range map[string]string{
		"tcp://a": "a:601", "tls://a": "a:6514", "tls://a:1": "a:1", "tls://[::1]": "[::1]:6514", "tcp://A.Example:65535": "a.example:65535",
		"": "", "a": "", "a:514": "", "tls:a": "", "tls://": "", "tls://:6514": "", "udp://a": "", "TLS://a:": "a:6514", "tls://a:0": "", "tls://a:65536": "",
		"tls://a:x": "", "tls://a b": "", "tls://a?b": "", "tls://a#b": "", "tls://a/b": "", "tls://u:p@a": "", "tls://[::1%25eth0]": "", "tls://::1": "",
	} {
		if got, _, message := parseServer(text); got != want || (message == "") != (want != "") {
			t.Errorf("%q is %q (%s), want %q", text, got, message, want)
		}
	}
}
