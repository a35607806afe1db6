package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"postern/audit"
	"postern/gateway"
)

// What the service manager is told (sd_notify(3)). Without one nothing is sent, and
// whether it hears does not matter to the gateway. Children never learn of it: they
// get no variable of this process.

// statusPause is how often the manager learns what goes on.
const statusPause = 5 * time.Second

// stopSlack is what the end of a gateway takes beside its sessions: the last records,
// and log servers that take in theirs.
const stopSlack = 10 * time.Second

// tell tells the manager what has changed, in the words of sd_notify.
func tell(words ...string) { _, _ = daemon.SdNotify(false, strings.Join(words, "\n")) }

// tellReload tells that files are read again, until done is called.
func tellReload() (done func()) {
	tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
	return func() { tell(daemon.SdNotifyReady) }
}

// stopping tells that the gateway ends, and asks for the time that it needs: sessions
// up to their limit, and then children that will not leave by themselves.
func stopping(limit time.Duration) {
	tell(daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", stopTime(limit).Microseconds()))
}

// stopTime is how long a gateway may take to end whose sessions may go on up to a limit.
func stopTime(limit time.Duration) time.Duration {
	return limit + 3*gateway.DefaultKillGrace + stopSlack
}

// startStatus tells what goes on, until stop is called.
func startStatus(ctx context.Context, server *gateway.Server) (stop func()) {
	said := ""
	say := func() {
		if now := activityOf(server); now != said {
			tell("STATUS=" + now)
			said = now
		}
	}
	say()
	return every(ctx, statusPause, say)
}

// activityOf says in one line what goes on.
func activityOf(server *gateway.Server) string {
	all := server.Sessions()
	var names []string
	for _, s := range all {
		names = append(names, s.Client)
	}
	slices.Sort(names)
	running := fmt.Sprintf("%s of %s", plural(len(all), "session"), plural(len(slices.Compact(names)), "client"))
	until, retiring := server.Retiring()
	switch {
	case !retiring && len(all) == 0:
		return "Serving; nothing runs"
	case !retiring:
		return "Serving; " + running
	case until.IsZero():
		return "Retired; " + running + " may finish"
	}
	return "Stopping; " + running + " may go on until " + until.Format(time.TimeOnly)
}

// startWatchdog shows the manager that the gateway is alive, twice in the time that
// it allows: that connections are accepted, and that the trail takes records. A gateway
// that is stuck gets stuck here too, and shows nothing any more.
func startWatchdog(ctx context.Context, server *gateway.Server, trail *audit.Trail) (stop func()) {
	allowed, err := daemon.SdWatchdogEnabled(false)
	if err != nil || allowed == 0 {
		return func() {}
	}
	return every(ctx, allowed/2, func() {
		if server.Alive(ctx) == nil {
			trail.Await()
			tell(daemon.SdNotifyWatchdog)
		}
	})
}
