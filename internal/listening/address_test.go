package listening

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Address{
		":2222":                  {Port: 2222},
		"127.0.0.1:0":            {Host: "127.0.0.1"},
		"0.0.0.0:22":             {Host: "0.0.0.0", Port: 22},
		"[::]:22":                {Host: "::", Port: 22},
		"[2001:DB8::1]:22":       {Host: "2001:db8::1", Port: 22},
		"[::ffff:192.0.2.1]:22":  {Host: "192.0.2.1", Port: 22},
		"[fe80::1%eth0]:65535":   {Host: "fe80::1%eth0", Port: 65535},
		"localhost:22":           {Host: "localhost", Port: 22},
		"eth0:22":                {Interface: "eth0", Port: 22},
		"eth0.100:22":            {Interface: "eth0.100", Port: 22},
		"br-lan:22":              {Interface: "br-lan", Port: 22},
		"[eth0]:22":              {Interface: "eth0", Port: 22},
		"veth_123456789a:22":     {Interface: "veth_123456789a", Port: 22},
		"2222":                   {},
		"":                       {},
		":":                      {},
		":ssh":                   {},
		":022":                   {},
		":+22":                   {},
		":65536":                 {},
		":2222%eth0":             {},
		"::1:22":                 {},
		"*:22":                   {},
		"*%eth0:22":              {},
		"0.0.0.0%eth0:22":        {},
		"[::%eth0]:22":           {},
		"[2001:db8::1%eth0]:22":  {},
		"[::ffff:1.2.3.4%e0]:22": {},
		"[fe80::1]:22":           {},
		"[fe80::1%]:22":          {},
		"1.2.3:22":               {},
		"192.168.1.256:22":       {},
		"nas.local:22":           {},
		"nas.local.1:22":         {},
		"eth0.:22":               {},
		".100:22":                {},
		"..:22":                  {},
		" :22":                   {},
		"eth 0:22":               {},
		"eth0\n:22":              {},
		"a/b:22":                 {},
		"veth_123456789ab:22":    {},
		"2222:22":                {},
	} {
		got, err := Parse(text)
		if want == (Address{}) {
			var m *Mistake
			if !errors.As(err, &m) || m.Message == "" || m.Remedy == "" {
				t.Errorf("%q is taken for %v: %v", text, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q becomes %q, which is %+v: %v", text, got, again, err)
		}
	}
}
