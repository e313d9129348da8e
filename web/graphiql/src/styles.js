// Stands in for the package `react-style-singleton`, which locks scrolling behind an open dialog with a
// style element: the page's content security policy refuses those. A constructed style sheet is allowed.

import { useLayoutEffect } from "react";

export function styleSingleton() {
  return function Style({ styles }) {
    useLayoutEffect(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(styles);
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      return () => {
        document.adoptedStyleSheets = document.adoptedStyleSheets.filter((adopted) => adopted !== sheet);
      };
    }, [styles]);
    return null;
  };
}
