package audit

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// What is read fast is what encoding/json reads.
func FuzzParseRecord(f *testing.F) {
	text, err := os.ReadFile("../docs/audit-format.md")
	if err != nil {
		f.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		f.Fatal("there are no examples")
	}
	for _, example := range examples {
		f.Add(string(example[1]))
	}
	for _, line := range []string{
		`{}`, `{"number":01}`, `{"number":-1}`, `{"number":1.5}`, `{"seconds":1.}`, `{"seconds":1e5}`, `{"seconds":-0}`, `{"status":null}`, `{"status":+1}`,
		`{"rules":[]}`, `{"rules":["a",]}`, `{"rules":["a" ]}`, `{"rules":null}`, `{"Client":"a"}`, `{"client":"a","client":"b"}`, `{"client":"ä"}`,
		`{"client":"a\u0062"}`, `{"client":1}`, `{"other":[{"a":"}"}],"client":"b"}`, `{"other":[}`, `{"other":,"client":"a"}`, `{"stores":true}`, `{"stores":tru}`,
		`{"time":"2026-10-18T01:04:05.060Z"}`, `{"time":"2026-10-18 01:04:05"}`, `{"client":"a"}{}`, `{"client":"a"} `, `{"other":1 ,"client":"a"}`, `[]`, ``, `{"client":"a`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.HasSuffix(line, "\n\n") {
			return
		}
		var want Record
		wrong := json.Unmarshal([]byte(line), &want)
		want.Line = json.RawMessage(strings.TrimSuffix(line, "\n"))
		got, err := parseRecord([]byte(line))
		if (err != nil) != (wrong != nil) {
			t.Fatalf("%v, and %v", err, wrong)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, and %+v", got, want)
		}
	})
}

// Most records are read fast: one that lacks a plain form is an exception.
func TestMostRecordsArePlain(t *testing.T) {
	line := `{"level":"info","time":"2026-10-18T01:04:05.060Z","number":7,"connection":"c","rules":["a:1"],"status":0,"seconds":2.5,"stores":true,"files":[{"did":"sent"}],"message":"session ended"}`
	var r Record
	if p := (plainLine{rest: line}); !p.into(reflect.ValueOf(&r).Elem()) || r.Number != 7 {
		t.Errorf("%+v", r)
	}
	for name, place := range recordFields() {
		field := reflect.New(reflect.TypeFor[Record]()).Elem().Field(place)
		found := false
		for _, text := range []string{`"2026-10-18T01:04:05Z"`, `["a"]`, `[1]`, `true`, `1`} {
			p := plainLine{rest: text + "}"}
			found = found || p.value(field)
		}
		if !found {
			t.Errorf("no value of the field %q is plain", name)
		}
	}
}
