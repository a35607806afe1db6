package configs

import (
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"10MB": 10_000_000, "10 MB": 10_000_000, "1GiB": 1 << 30, "1.5GiB": 3 << 29, "2TB": 2_000_000_000_000,
		"500GiB": 500 << 30, "7EiB": 7 << 60, "1B": 1, "0B": 0, "1kB": 1000, "1KB": 1000, "1KiB": 1024,
		"9223372036854775807B": 1<<63 - 1,
	} {
		if got, message, _ := parseSize(text); got != want || message != "" {
			t.Errorf("%q is %d (%s), want %d", text, got, message, want)
		}
	}
	for _, text := range []string{
		"", "B", "GiB", "10", "-1B", "+1B", "1GiB ", " 1GiB", "1  GiB", "1,5GiB", "1.GiB", ".5GiB", "1.5.5GiB", "1G", "1Gi",
		"1gib", "NaN", "NaNB", "Inf", "InfB", "0x1B", "1e3B", "1_000B", "٣GiB", "9223372036854775808B", "8EiB", "99999EB",
		strings.Repeat("9", 400) + "B", "1GiB\n", "1bit",
	} {
		if got, message, remedy := parseSize(text); message == "" || remedy == "" {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestExpiries(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("needs time zone data")
	}
	for text, want := range map[string]string{
		"2027-06-30":                    "2027-06-30T22:00:00Z",
		"2027-12-31":                    "2027-12-31T23:00:00Z",
		"2028-02-29":                    "2028-02-29T23:00:00Z",
		"2027-03-28":                    "2027-03-28T22:00:00Z", // 23 hours long
		"2027-10-31":                    "2027-10-31T23:00:00Z", // 25 hours long
		"2027-06-30T18:00:00+02:00":     "2027-06-30T16:00:00Z",
		"2027-06-30T18:00:00Z":          "2027-06-30T18:00:00Z",
		"2027-06-30T18:00:00.25-00:30":  "2027-06-30T18:30:00.25Z",
		"9999-12-31":                    "9999-12-31T23:00:00Z",
		"1970-01-02":                    "1970-01-02T23:00:00Z",
		"1970-01-01T00:00:00.5+00:00":   "",
		"0000-12-31T23:59:59-00:01":     "",
		"0001-01-01T00:00:00Z":          "",
		"1969-12-30":                    "",
		"2027-02-29":                    "",
		"2027-6-30":                     "",
		"27-06-30":                      "",
		"2027-06-30 ":                   "",
		"2027-06-30T18:00:00":           "",
		"2027-06-30 18:00:00Z":          "",
		"2027-06-30T24:00:00Z":          "",
		"tomorrow":                      "",
		"":                              "",
		"+2027-06-30":                   "",
		"12027-06-30":                   "",
		"2027-06-30T18:00:00+02:00 (x)": "",
	} {
		got, message, remedy := parseExpiry(text, berlin)
		if want == "" {
			if message == "" || remedy == "" {
				t.Errorf("%q is taken for %v", text, got)
			}
			continue
		}
		if message != "" || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v (%s), want %s", text, got.UTC(), message, want)
		}
	}
}

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"192.168.1.7":            "192.168.1.7/32",
		"192.168.1.0/24":         "192.168.1.0/24",
		"0.0.0.0/0":              "0.0.0.0/0",
		"::/0":                   "::/0",
		"::1":                    "::1/128",
		"2001:DB8::/32":          "2001:db8::/32",
		"::ffff:1.2.3.4":         "1.2.3.4/32",
		"::ffff:1.2.3.0/120":     "1.2.3.0/24",
		"::ffff:0:0/96":          "0.0.0.0/0",
		"::ffff:102:300/120":     "1.2.3.0/24",
		"::1.2.3.4":              "::102:304/128", // not mapped
		"::/95":                  "::/95",
		"::ffff:1.2.3.4/120":     "",
		"::ffff:0:0/95":          "",
		"192.168.1.5/24":         "",
		"2001:db8::1/32":         "",
		"fe80::1%eth0":           "",
		"fe80::%eth0/64":         "",
		"::ffff:1.2.3.4%eth0":    "",
		"192.168.1":              "",
		"192.168.1.256":          "",
		"192.168.01.1":           "",
		"192.168.1.0/024":        "",
		"192.168.1.0/+24":        "",
		"192.168.1.0/33":         "",
		"192.168.1.0/":           "",
		"192.168.1.0/24/24":      "",
		"192.168.1.0/255.255.0.": "",
		"0x7f.1":                 "",
		"2130706433":             "",
		"[::1]":                  "",
		"1.2.3.4:22":             "",
		"nas.local":              "",
		"*":                      "",
		"":                       "",
		"any":                    "",
	} {
		got, message, remedy := parseNetwork(text)
		if want == "" {
			if message == "" || remedy == "" {
				t.Errorf("H7 %q is taken for %v", text, got)
			}
			continue
		}
		if message != "" || got.String() != want {
			t.Errorf("H7 %q is %v (%s), want %s", text, got, message, want)
		}
	}
}

func TestHints(t *testing.T) {
	words := []string{"access", "delete", "overwrite", "rsync"}
	for word, want := range map[string]string{
		"acces": "access", "acess": "access", "acccess": "access", "acecss": "access", "ACCESS": "access",
		"delte": "delete", "overwirte": "overwrite", "over_write": "overwrite", "rsycn": "rsync",
		"": "", "x": "", "banana": "", "axxxss": "", strings.Repeat("access", 1000): "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q is nearest to %q, want %q", word, got, want)
		}
	}
	for _, test := range []struct {
		words []string
		want  string
	}{{nil, ""}, {[]string{"a"}, "a"}, {[]string{"a", "b"}, "a or b"}, {[]string{"a", "b", "c"}, "a, b or c"}} {
		if got := choices(test.words); got != test.want {
			t.Errorf("%q are %q, want %q", test.words, got, test.want)
		}
	}
}
