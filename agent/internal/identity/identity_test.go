package identity

import (
	"strings"
	"testing"
)

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

func (m *untouchedMachine) RenewBootID() error {
	m.t.Error("the boot id is changed")
	return nil
}

func TestInvalidIdentityChangesNothing(t *testing.T) {
	kernel := &untouchedMachine{t}
	i := New(kernel, t.TempDir())
	_, err := i.Apply(&Request{ClockUnixNs: "1700000000000000000", Hostname: "bad name"}, true)
	if err == nil {
		t.Fatal("a bad name is let through")
	}
}

// bootedMachine counts how often its boot id is renewed.
type bootedMachine struct{ renewed int }

func (*bootedMachine) SetClock(int64) error     { return nil }
func (*bootedMachine) AddEntropy([]byte) error  { return nil }
func (*bootedMachine) SetHostname(string) error { return nil }
func (m *bootedMachine) RenewBootID() error     { m.renewed++; return nil }

func TestBootIDIsRenewedForAnotherMachineOnly(t *testing.T) {
	kernel := &bootedMachine{}
	i := New(kernel, t.TempDir())
	apply := func(digit string, restored bool) int {
		t.Helper()
		if _, err := i.Apply(&Request{MachineID: strings.Repeat(digit, 32)}, restored); err != nil {
			t.Fatal(err)
		}
		return kernel.renewed
	}
	if apply("a", false) != 0 {
		t.Error("a machine that booted has another boot id than its kernel's")
	}
	if apply("a", true) != 0 {
		t.Error("a machine that woke has another boot id")
	}
	if apply("b", true) != 1 || apply("b", true) != 1 || apply("c", true) != 2 {
		t.Error("a fork has the boot id of its origin")
	}
}
