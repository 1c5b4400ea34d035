package egress

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certificate makes a PEM block; its content does not matter here.
func certificate(letter string) string {
	return "-----BEGIN CERTIFICATE-----\n" + strings.Repeat(letter, 64) + "\n-----END CERTIFICATE-----\n"
}

// guest is a directory with the files of ca-certificates in a guest.
func guest(t *testing.T) (settings *Settings, read func(name string) string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		bundleFile:      certificate("A") + certificate("B"),
		environmentFile: "MINE=1\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	settings = New(root)
	settings.update = func(bool) error { return nil }
	return settings, func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestEgressIsTrustedAtOnceAndReplaced(t *testing.T) {
	settings, read := guest(t)
	if digest := settings.Digest(); digest != "" {
		t.Fatalf("a new guest has %q", digest)
	}
	first := &Request{Digest: "one", Certificates: []string{certificate("A"), certificate("C"), certificate("D")},
		Environment: map[string]string{"SSL_CERT_FILE": "/x", "https_proxy": "http://p"}, Wait: true}
	if err := settings.Apply(first); err != nil {
		t.Fatal(err)
	}
	if want := certificate("A") + certificate("B") + certificate("C") + certificate("D"); read(bundleFile) != want {
		t.Errorf("the bundle is %q", read(bundleFile))
	}
	// A certificate that the guest trusts anyway is not stored as the host's.
	if read(localDirectory+"/opencomputer-001.crt") != certificate("C") || read(localDirectory+"/opencomputer-002.crt") != certificate("D") {
		t.Error("the files are not the certificates that the guest lacks")
	}
	if want := variablesBegin + "SSL_CERT_FILE=/x\nhttps_proxy=http://p\n" + variablesEnd + "MINE=1\n"; read(environmentFile) != want {
		t.Errorf("the environment is %q", read(environmentFile))
	}
	if settings.Digest() != "one" {
		t.Errorf("the digest is %q", settings.Digest())
	}

	if err := settings.Apply(&Request{Digest: "two", Certificates: []string{certificate("D")}, Wait: true}); err != nil {
		t.Fatal(err)
	}
	if want := certificate("A") + certificate("B") + certificate("D"); read(bundleFile) != want {
		t.Errorf("the bundle is then %q", read(bundleFile))
	}
	if read(environmentFile) != "MINE=1\n" {
		t.Errorf("the environment is then %q", read(environmentFile))
	}
	if err := settings.Apply(&Request{Wait: true}); err != nil {
		t.Fatal(err)
	}
	if want := certificate("A") + certificate("B"); read(bundleFile) != want || settings.Digest() != "" {
		t.Errorf("without settings the bundle is %q", read(bundleFile))
	}
}

func TestEgressThatIsThereCostsNothing(t *testing.T) {
	settings, _ := guest(t)
	request := &Request{Digest: "one", Certificates: []string{certificate("C")}, Wait: true}
	if err := settings.Apply(request); err != nil {
		t.Fatal(err)
	}
	settings.update = func(bool) error { return errors.New("stores are rebuilt") }
	if err := settings.Apply(request); err != nil {
		t.Error(err)
	}
	request.Digest = "two"
	if err := settings.Apply(request); err == nil {
		t.Error("a failure to rebuild stores is not reported")
	}
}

func TestEgressRefusals(t *testing.T) {
	settings, read := guest(t)
	for name, request := range map[string]*Request{
		"a digest with a line end":  {Digest: "a\nb"},
		"a long digest":             {Digest: strings.Repeat("a", 65)},
		"no certificate":            {Certificates: []string{"text"}},
		"a key":                     {Certificates: []string{strings.ReplaceAll(certificate("A"), "CERTIFICATE", "PRIVATE KEY")}},
		"two in one":                {Certificates: []string{certificate("C") + certificate("D")}},
		"a variable of two lines":   {Environment: map[string]string{"A": "1\nB=2"}},
		"a variable without a name": {Environment: map[string]string{"": "1"}},
	} {
		if settings.Apply(request) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if read(environmentFile) != "MINE=1\n" {
		t.Error("a refused request changes the guest")
	}
}
