// What the API answers, under the names that the console uses.

export type {
  CalendarSummary as Calendar,
  Chain,
  Delivery,
  Event,
  EventPage,
  FailedJob,
  Forecast,
  ForecastHour,
  ForecastImpact,
  History,
  HistoryHour,
  Host,
  JobAdvice,
  JobFull as Job,
  JobRow,
  JobStats,
  Lane,
  LateJob,
  LinkedJob,
  PlannedRun,
  Pool,
  ResourcesAsked as Resources,
  Schedule,
  ServerStatus as Status,
  Task,
  Tick,
} from "../contract";

export interface List<Item> {
  items: Item[];
  total: number;
  page: number;
  pages: number;
  hasNext: boolean;
  nextUrl: string | null;
  prevUrl: string | null;
}
