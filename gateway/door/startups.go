package door

// Startups bounds the connections on their way in as MaxStartups of sshd does: from
// Start of them on a new one is refused by chance, Rate percent at first, all from
// Full on.
type Startups struct{ Start, Rate, Full int }

// DefaultStartups has room for a whole office that begins at one hour: they are not
// processes here, as with sshd.
func DefaultStartups() Startups { return Startups{Start: 100, Rate: 30, Full: 300} }

// refuses decides on one more beside n.
func (s Startups) refuses(n int, chance func(int) int) bool {
	switch {
	case n < s.Start:
		return false
	case n >= s.Full:
		return true
	}
	percent := s.Rate + (100-s.Rate)*(n-s.Start)/(s.Full-s.Start)
	return chance(100) < percent
}
