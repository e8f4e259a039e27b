"use strict";

// The next query whose nearest image is wrong.
keys.f = () => {
  const link = document.getElementById("failure");
  if (link) inTurn(() => link.click());
  return Boolean(link);
};
