package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"postern/configs"
	"postern/gateway/control"
)

// overview is the result of postern status.
type overview struct {
	// Gateways are those that run: none, one, or during an upgrade two. It is null
	// where a copy of a trail is looked at, or they could not be asked.
	Gateways []gatewayStatus `json:"gateways"`
	Clients  []clientStatus  `json:"clients"`
}

// gatewayStatus is what a gateway says of itself.
type gatewayStatus struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	// Since is when it started.
	Since time.Time `json:"since"`
	// State is serving, or retiring for one that serves nobody new and lets its
	// sessions go on, until a time if it is to end them then.
	State string     `json:"state"`
	Until *time.Time `json:"until,omitempty"`
	// Sessions run, and Connections are open, those on their way in too.
	Sessions    int `json:"sessions"`
	Connections int `json:"connections"`
	// Policy is the hash of the files that it goes by, and Problems are what is
	// wrong with newer ones that it refused.
	Policy   string           `json:"policy"`
	Problems configs.Problems `json:"problems,omitempty"`
}

// The states of a gateway.
const (
	stateServing  = "serving"
	stateRetiring = "retiring"
)

// gateways asks those that run. Where they cannot be asked, what is known of the
// clients is worth as much as before.
func (a *app) gateways(state string) []gatewayStatus {
	replies, err := askSoon[gatewayStatus](state, askStatus, nothing{})
	if err != nil && !errors.Is(err, control.ErrNone) {
		a.hint("postern: warning: %v", err)
		if len(replies) == 0 {
			return nil
		}
	}
	all := make([]gatewayStatus, len(replies))
	for i, reply := range replies {
		all[i] = reply.Answer
	}
	return all
}

func (s overview) print(w io.Writer, width int) {
	for _, g := range s.Gateways {
		fmt.Fprintf(w, "gateway %d: %s, %s and %s, version %s, since %s\n",
			g.PID, g.inWords(), plural(g.Sessions, "session"), plural(g.Connections, "connection"), plain(g.Version), localTime(g.Since))
	}
	if s.Gateways != nil && len(s.Gateways) == 0 {
		fmt.Fprintln(w, "no gateway runs")
	}
	if s.Gateways != nil {
		fmt.Fprintln(w)
	}
	printStatus(w, s.Clients, width)
}

// inWords is the gateway's state.
func (g gatewayStatus) inWords() string {
	switch {
	case g.Until != nil:
		return fmt.Sprintf("retiring until %s", localTime(*g.Until))
	case g.State == stateRetiring:
		return "retiring, until its sessions have ended"
	}
	return plain(g.State)
}
