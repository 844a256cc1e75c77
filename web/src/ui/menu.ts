// The look shared by all menus.

export const menuContent =
  "pop z-50 min-w-44 rounded-xl border border-line bg-surface p-1 shadow-raised outline-none text-sm";

export const menuItem =
  "flex h-9 cursor-pointer items-center gap-2.5 rounded-lg px-2.5 outline-none select-none data-[highlighted]:bg-sunken";
