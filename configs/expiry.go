package configs

import (
	"regexp"
	"time"
)

// parseExpiry returns the instant from which something is refused. A day is
// included: it ends at the midnight after it in the zone. An instant is as it
// says.
func parseExpiry(text string, zone *time.Location) (instant time.Time, fault, remedy string) {
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		// Not 24 hours later: days on which the clock changes are longer or
		// shorter.
		instant = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, zone)
	} else if instant, err = time.Parse(time.RFC3339, text); err != nil {
		return time.Time{}, "is neither a day nor an instant", expiryRemedy(text)
	}
	if instant.Unix() <= 0 {
		// The zero time would mean never.
		return time.Time{}, "lies before 1970", "write disabled: true to shut the client out"
	}
	return instant, "", ""
}

// opensshDay is the form of OpenSSH's expiry-time.
var opensshDay = regexp.MustCompile(`^([0-9]{4})([0-9]{2})([0-9]{2})$`)

// expiryRemedy rewrites the form of OpenSSH.
func expiryRemedy(text string) string {
	if p := opensshDay.FindStringSubmatch(text); p != nil {
		return "write " + p[1] + "-" + p[2] + "-" + p[3]
	}
	return "write the last day as 2027-06-30, or an instant as 2027-06-30T18:00:00+02:00"
}
