// Package rawjson reads JSON that others have written.
//
// Package encoding/json matches the names of struct fields without regard to
// case and with Unicode folding, so that "broadcaſt" sets a field that was
// meant for "broadcast". What decides about permissions, rooms and users is
// read here instead: names match exactly, and a number that names a room or a
// user has one text, whoever has written it.
package rawjson
