package identity

import "testing"

// untouchedMachine stands for a kernel that must not be changed.
type untouchedMachine struct{ t *testing.T }

func (m *untouchedMachine) SetClock(int64) error {
	m.t.Error("the clock is changed")
	return nil
}

func (m *untouchedMachine) AddEntropy([]byte) error {
	m.t.Error("entropy is added")
	return nil
}

func (m *untouchedMachine) SetHostname(string) error {
	m.t.Error("the hostname is changed")
	return nil
}

func TestInvalidIdentityChangesNothing(t *testing.T) {
	kernel := &untouchedMachine{t}
	i := New(kernel, t.TempDir())
	_, err := i.Apply(&Request{ClockUnixNs: "1700000000000000000", Hostname: "bad name"})
	if err == nil {
		t.Fatal("a bad name is let through")
	}
}
