package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"postern/audit"
)

// What RFC 5424 wants to know of each message.
const (
	appName = "postern"
	// facility is authpriv: receivers keep it from other users' eyes.
	facility = 10
	// nothing stands for what is not known.
	nothing = "-"
	// maxMessageID and maxHost bound fields of the header.
	maxMessageID = 32
	maxHost      = 255
)

// writeBuffer is what this system holds for a server: little, so that one behind a
// slow line is seen to take it.
const writeBuffer = 256 << 10

// severity is a record's level as a number of syslog.
func severity(level string) int {
	switch level {
	case "debug":
		return 7
	case "info":
		return 6
	case "warn":
		return 4
	}
	return 3
}

// printable cuts a text down to what a field of the header may hold.
func printable(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f {
			return '_'
		}
		return c
	}, text)
	if text == "" {
		return nothing
	}
	return text[:min(len(text), most)]
}

// frame is a record as a message of RFC 5424 in a frame of RFC 6587, which begins
// with its length: nothing in a record can end it. The message is the record's line
// of JSON, in UTF-8 without the mark that RFC 5424 would put before it and JSON does
// not allow.
func frame(host string, r audit.Record) []byte {
	at := nothing
	if !r.Time.IsZero() {
		at = r.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	header := fmt.Sprintf("<%d>1 %s %s %s %s %s %s ", 8*facility+severity(r.Level), at, host, appName, nothing, printable(r.Event, maxMessageID), nothing)
	text := fmt.Appendf(nil, "%d %s", len(header)+len(r.Line), header)
	return append(text, r.Line...)
}

// Syslog is a syslog server (RFC 5424) that takes frames with their length over TCP.
type Syslog struct {
	// Address is its host and port.
	Address string
	// TLS has the way encrypted (RFC 5425) and the server show a certificate of
	// its name.
	TLS bool
	// CA is a PEM file with the CAs that are believed; empty are those of the
	// system.
	CA string
	// Certificate and Key are PEM files with which this side shows who it is;
	// both are empty or none.
	Certificate, Key string
}

// Destination returns the server as a destination, or an error where its files cannot
// be used. They are read again for each connection.
func (s Syslog) Destination() (Destination, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	to := syslog{Syslog: s, host: printable(host, maxHost)}
	if s.TLS {
		_, err = to.tlsConfig()
	}
	return to, err
}

// syslog is a syslog server as this host sees it.
type syslog struct {
	Syslog
	host string
}

func (s syslog) String() string {
	if s.TLS {
		return "tls://" + s.Address
	}
	return "tcp://" + s.Address
}

func (s syslog) tlsConfig() (*tls.Config, error) {
	name, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", s.CA)
		}
	}
	if s.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", s.Certificate, s.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (s syslog) open(ctx context.Context, p pace, from uint64) (way, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return nil, err
	}
	raw := &counted{TCPConn: conn.(*net.TCPConn)} // always, for "tcp"
	if err := raw.SetWriteBuffer(writeBuffer); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if !s.TLS {
		return newWire(raw, raw, s.host, p, from), nil
	}
	config, err := s.tlsConfig()
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return newWire(secure, raw, s.host, p, from), secure.SetDeadline(time.Time{})
}
